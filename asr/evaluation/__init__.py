"""Word error rate: metrics, reports, comparison and tuning."""
