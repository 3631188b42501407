"""Items: what can be recommended."""
