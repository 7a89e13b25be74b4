from django.urls import URLPattern, URLResolver, include, path, re_path

from . import views

customers = [
    path("orders/<int:order>/", views.order_of, name="order"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.index),
    path("orders/", views.place),
    path("orders/async/", views.place_async),
    path("orders/<int:order>/payment/", views.pay),
    path("customers/<slug:customer>/", include((customers, "customers"))),
    re_path(r"^archive/(?P<year>[0-9]{4})/$", views.archive),
    path("", include("obs_django.urls")),
]
