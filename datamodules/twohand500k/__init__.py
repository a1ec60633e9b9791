"""Two-hand 500K (Zuo et al. 2023): pairs of hands as MANO parameters. Its own files are not known; see README.md."""
