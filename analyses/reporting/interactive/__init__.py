"""The parts of the page that its reader steers: atlas and explorer."""
