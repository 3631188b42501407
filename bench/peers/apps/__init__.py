"""The home-made services, each as its framework's documentation recommends. They run in an environment of their own."""
