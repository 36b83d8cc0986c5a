"""Where the views are."""

from __future__ import annotations

from django.urls import path

from django_chat import views

urlpatterns = [
    path("answer", views.answer),
    path("stream", views.stream),
]
