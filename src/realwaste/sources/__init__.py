"""Where images and weights come from: RealWaste, folders, label tables, archives, downloads, synthetic pictures."""
