"""HO-3D v2 and v3 (Hampali et al. 2020)."""
