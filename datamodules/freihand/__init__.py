"""FreiHAND v2 (Zimmermann et al. 2019)."""
