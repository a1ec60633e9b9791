import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("zoo", "datamodules", "callbacks", "checkpoints")
PARTS = ("encoders", "denoisers", "samplers", "guidance", "metrics", "models")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def offenders(paths, forbidden):
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in paths
        for name in imports(path)
        if any(name == package or name.startswith(f"{package}.") for package in forbidden)
    ]


def test_the_zoo_imports_no_other_package_of_ours_except_from_its_command_line():
    core = [path for path in files("zoo") if path.name != "__main__.py" and "commands" not in path.parts]
    assert offenders(core, PACKAGES[1:]) == []


def test_nothing_but_the_command_line_imports_the_command_line():
    others = [path for name in PACKAGES for path in files(name) if "commands" not in path.parts]
    others = [path for path in others if path != ROOT / "zoo" / "__main__.py"]
    assert offenders(others, ["zoo.commands", "zoo.__main__"]) == []


def test_the_other_packages_import_the_zoo_but_never_each_other():
    for package in PACKAGES[1:]:
        assert offenders(files(package), set(PACKAGES[1:]) - {package}) == []


def test_methods_do_not_import_methods():
    kinds = ("(HandMethod):", "(PictureMethod):")
    methods = [path for path in files("zoo/models") if any(kind in path.read_text() for kind in kinds)]
    assert len(methods) > 2
    for path in methods:
        assert offenders([path], {f"zoo.models.{other.stem}" for other in methods if other != path}) == []


def test_parts_do_not_import_one_another():
    for part in PARTS[:-1]:
        assert offenders(files(f"zoo/{part}"), [f"zoo.{other}" for other in PARTS if other != part]) == []


def test_hands_import_no_part_and_no_method():
    layer = [path for path in files("zoo/hands") if "build" not in path.parts]  # the builder is a script
    assert offenders(layer, [f"zoo.{part}" for part in PARTS]) == []
