"""SMS through Twilio: the official library's resources over a transport that never sends twice."""
