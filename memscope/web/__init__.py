"""The screen in a browser: `memscope --web`, through textual-serve."""
