"""Where images and weights come from: RealWaste, folders, archives, downloads, drawn pictures."""
