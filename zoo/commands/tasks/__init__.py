"""What `sample` does: readers of what people have, the model's four tasks, and writers of what comes out."""
