"""Files of bars: what they hold, what is wrong in them, and the calendars of markets that close."""
