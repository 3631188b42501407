"""What can be typed. Each module adds its commands to the app."""
