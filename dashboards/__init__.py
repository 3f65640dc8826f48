"""What others draw of the record: Grafana dashboards, rules of Prometheus, and what feeds them."""
