"""A run as Prometheus, a Pushgateway and OTLP receivers see it."""
