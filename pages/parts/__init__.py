"""What several pages show, or one long page is made of."""
