"""Our side of both competition APIs, behind the one port `Gateway`."""
