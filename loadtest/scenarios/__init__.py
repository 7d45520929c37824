"""One Locust file for each scenario of `loadtest.plan`; `locust -f` takes them as they are."""
