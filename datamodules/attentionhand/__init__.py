"""Folders as AttentionHand's code reads them (Park et al. 2024): photographs, pictures of hand meshes, sentences."""
