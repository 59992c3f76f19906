"""The app's own addresses: `path("checkout/", include("checkout.urls"))`."""

from django.urls import include, path

from checkout.views import (
    brand,
    cards,
    csp_reports,
    early,
    health,
    on_session,
    papers,
    payer,
    plan_access,
    plan_list,
    plan_progress,
    plans,
    requests,
    webhook,
)

urlpatterns = [
    path("health/", health.health, name="checkout.health"),
    path("health/full/", health.full, name="checkout.health.full"),
    path("health/metrics/", health.figures, name="checkout.health.metrics"),
    path("csp-report/", csp_reports.report, name="checkout.csp.report"),
    path("brand.css", brand.stylesheet, name="checkout.brand"),
    path("webhook/", webhook.webhook, name="checkout.webhook"),
    path("<uuid:uuid>/pay/", on_session.InstalmentPayView.as_view(), name="checkout.pay"),
    path("<uuid:uuid>/return/", payer.ReturnView.as_view(), name="checkout.return"),
    path("<uuid:uuid>/deposit/", plans.DepositView.as_view(), name="checkout.deposit"),
    path("pay/<str:token>/", on_session.PaymentLinkView.as_view(), name="checkout.pay.link"),
    path("pay-on-session/<uuid:uuid>/", on_session.PayOnSessionView.as_view(), name="checkout.pay.on.session"),
    path("plan/<str:token>/", plan_access.PlanLinkView.as_view(), name="checkout.plan.link"),
    path("plans/", plan_list.PlanListView.as_view(), name="checkout.plan.list"),
    path("plans/<uuid:uuid>/pay/", early.EarlyPaymentView.as_view(), name="checkout.plan.pay"),
    path("plans/<uuid:uuid>/card/", cards.PlanCardView.as_view(), name="checkout.plan.card"),
    path("plans/<uuid:uuid>/", plan_progress.PlanProgressView.as_view(), name="checkout.plan.progress"),
    path("plans/<uuid:uuid>/statement/", papers.StatementView.as_view(), name="checkout.statement"),
    path("plans/<uuid:uuid>/statement/pdf/", papers.StatementView.as_view(as_pdf=True), name="checkout.statement.pdf"),
    path("<uuid:uuid>/receipt/", papers.ReceiptView.as_view(), name="checkout.receipt"),
    path("<uuid:uuid>/receipt/pdf/", papers.ReceiptView.as_view(as_pdf=True), name="checkout.receipt.pdf"),
    path("receipt/<str:token>/", papers.ReceiptLinkView.as_view(), name="checkout.receipt.link"),
    path("card-refresh/", cards.CardRefreshView.as_view(), name="checkout.card.refresh"),
    path("card-refresh/<uuid:uuid>/", cards.CardRefreshView.as_view(), name="checkout.card.refresh.plan"),
    path("request/<str:token>/", requests.RequestPayView.as_view(), name="checkout.request.pay"),
    path("invoice/<str:token>/", requests.InvoiceView.as_view(), name="checkout.invoice"),
    path("staff/", include("checkout.office.urls")),
]
