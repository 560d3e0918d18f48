"""What talks to servers: sessions, catalog, Source and Target. Moves wire bytes, knows no Arrow."""
