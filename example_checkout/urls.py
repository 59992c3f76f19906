"""The shop's addresses."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path

from example_checkout import views

urlpatterns = [
    path("", views.HomeView.as_view(), name="project.home"),
    path("courses/<slug:slug>/", views.ProductView.as_view(), name="example.product"),
    path("courses/<slug:slug>/buy/", views.BuyView.as_view(), name="example.buy"),
    path("orders/", views.PurchasesView.as_view(), name="example.purchases"),
    path("orders/<int:pk>/", views.SalesLedgerView.as_view(), name="example.sales.ledger"),
    path("orders/<int:pk>/pay/", views.SalesLedgerSessionRedirectView.as_view(), name="example.pay"),
    path("orders/<int:pk>/how-to-pay/", views.SalesLedgerChoiceView.as_view(), name="example.choose"),
    path("orders/<int:pk>/next-month/", views.NextMonthView.as_view(), name="example.next.month"),
    path("orders/<int:pk>/thank-you/", views.ThankYouView.as_view(), name="example.thank.you"),
    path("pay/<uuid:uuid>/", views.SalesLedgerCheckoutView.as_view(), name="example.checkout"),
    path("mails/", views.MailsView.as_view(), name="example.mails"),
    path("log-in/", auth_views.LoginView.as_view(), name="login"),
    path("log-out/", auth_views.LogoutView.as_view(), name="logout"),
    path("checkout/", include("checkout.urls")),
    path("admin/", admin.site.urls),
]
