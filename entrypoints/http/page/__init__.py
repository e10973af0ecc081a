"""The page for people at `/`: files for a browser, which use the public interface."""
