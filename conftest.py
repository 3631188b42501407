"""Real servers for every test that asks for one."""

pytest_plugins = ["localmesh.pytest_plugin"]
