"""The laboratory: reads run logs, replays, measures, compares and exports. The core never imports it."""
