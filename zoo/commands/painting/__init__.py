"""What `sample` does with methods that make pictures."""
