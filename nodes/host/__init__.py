"""The only place that touches the host's own modules: adapters attached, models found."""
