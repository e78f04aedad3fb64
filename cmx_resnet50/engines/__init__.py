"""What an automation engine asks and reads: requests in its env, runs, and the keys it exports."""
