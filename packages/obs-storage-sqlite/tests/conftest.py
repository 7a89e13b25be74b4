from hypothesis import HealthCheck, settings

# Machines are noisy: what is slow is not wrong.
settings.register_profile(
    "obs", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("obs")
