"""Addresses of the staff pages, under `staff/`. Each view says which permission it wants."""

from django.urls import path

from checkout.office.views import (
    checkouts,
    customers,
    dashboard,
    disputes,
    doctor,
    events,
    instalments,
    papers,
    plan_templates,
    plans,
    problems,
    proposals,
    refunds,
    requests,
    runs,
)

PLAN = "checkout.object.payment.plan"

urlpatterns = [
    path("", dashboard.DashboardView.as_view(), name="checkout.dashboard"),
    path("checkouts/", checkouts.CheckoutListView.as_view(), name="checkout.list"),
    path("checkouts/success/", checkouts.CheckoutSuccessListView.as_view(), name="checkout.list.success"),
    path("checkouts/audit/", checkouts.CheckoutAuditListView.as_view(), name="checkout.list.audit"),
    path("checkouts/<uuid:uuid>/", checkouts.CheckoutDetailView.as_view(), name="checkout.detail"),
    path("checkouts/<uuid:uuid>/cancel/", checkouts.CheckoutCancelView.as_view(), name="checkout.cancel"),
    path("checkouts/<uuid:uuid>/look/", checkouts.CheckoutLookView.as_view(), name="checkout.look"),
    path("checkouts/<uuid:uuid>/paid/", checkouts.InvoicePaidView.as_view(), name="checkout.invoice.paid"),
    path("checkouts/<uuid:uuid>/refund/", refunds.RefundCreateView.as_view(), name="checkout.refund.create"),
    path("checkouts/<uuid:uuid>/invoice/", papers.InvoicePaperView.as_view(), name="checkout.invoice.paper"),
    path(
        "checkouts/<uuid:uuid>/invoice/pdf/",
        papers.InvoicePaperView.as_view(as_pdf=True),
        name="checkout.invoice.paper.pdf",
    ),
    path("refunds/", refunds.RefundListView.as_view(), name="checkout.refund.list"),
    path("refunds/<uuid:uuid>/look/", refunds.RefundLookView.as_view(), name="checkout.refund.look"),
    path("problems/", problems.ProblemListView.as_view(), name="checkout.problem.list"),
    path("problems/<int:pk>/", problems.ProblemDetailView.as_view(), name="checkout.problem.detail"),
    path("problems/<int:pk>/apply/", problems.ProblemApplyView.as_view(), name="checkout.problem.apply"),
    path("problems/<int:pk>/take/", problems.ProblemTakeView.as_view(), name="checkout.problem.take"),
    path("problems/<int:pk>/close/", problems.ProblemCloseView.as_view(), name="checkout.problem.close"),
    path("proposals/", proposals.ProposalListView.as_view(), name="checkout.proposal.list"),
    path("proposals/<int:pk>/", proposals.ProposalDetailView.as_view(), name="checkout.proposal.detail"),
    path("proposals/<int:pk>/approve/", proposals.ProposalApproveView.as_view(), name="checkout.proposal.approve"),
    path("proposals/<int:pk>/refuse/", proposals.ProposalTurnDownView.as_view(), name="checkout.proposal.refuse"),
    path("proposals/<int:pk>/withdraw/", proposals.ProposalWithdrawView.as_view(), name="checkout.proposal.withdraw"),
    path("disputes/", disputes.DisputeListView.as_view(), name="checkout.dispute.list"),
    path("disputes/<int:pk>/", disputes.DisputeDetailView.as_view(), name="checkout.dispute.detail"),
    path("disputes/<int:pk>/evidence/", disputes.DisputeEvidenceView.as_view(), name="checkout.dispute.evidence"),
    path("plans/", plans.PlanListView.as_view(), name=f"{PLAN}.list"),
    path("plans/<uuid:uuid>/", plans.PlanDetailView.as_view(), name=f"{PLAN}.detail"),
    path("plans/<uuid:uuid>/stop/", plans.PlanStopView.as_view(), name=f"{PLAN}.delete"),
    path("plans/<uuid:uuid>/resume/", plans.PlanResumeView.as_view(), name=f"{PLAN}.resume"),
    path("plans/<uuid:uuid>/revoke/", plans.PlanRevokeView.as_view(), name=f"{PLAN}.revoke"),
    path("cards/expiry/", plans.CardExpiryListView.as_view(), name=f"{PLAN}.card.expiry.list"),
    path("cards/refresh/", customers.CardRefreshListView.as_view(), name="checkout.card.refresh.list"),
    path("instalments/<int:pk>/", instalments.InstalmentDetailView.as_view(), name=f"{PLAN}.instalment"),
    path("instalments/<int:pk>/paid/", instalments.InstalmentPaidView.as_view(), name=f"{PLAN}.instalment.paid"),
    path("instalments/<int:pk>/charge/", instalments.InstalmentChargeView.as_view(), name=f"{PLAN}.instalment.charge"),
    path("instalments/<int:pk>/ask/", instalments.InstalmentAskView.as_view(), name=f"{PLAN}.instalment.ask"),
    path("instalments/<int:pk>/due/", instalments.InstalmentDueView.as_view(), name=f"{PLAN}.instalment.due"),
    path("templates/", plan_templates.PaymentPlanListView.as_view(), name="checkout.payment.plan.list"),
    path("templates/new/", plan_templates.PaymentPlanCreateView.as_view(), name="checkout.payment.plan.create"),
    path("templates/<int:pk>/", plan_templates.PaymentPlanUpdateView.as_view(), name="checkout.payment.plan.update"),
    path(
        "templates/<int:pk>/version/",
        plan_templates.PaymentPlanVersionView.as_view(),
        name="checkout.payment.plan.version",
    ),
    path(
        "templates/<int:pk>/delete/",
        plan_templates.PaymentPlanDeleteView.as_view(),
        name="checkout.payment.plan.delete",
    ),
    path("runs/", runs.PaymentRunListView.as_view(), name="checkout.payment.run.list"),
    path("runs/<int:pk>/", runs.PaymentRunDetailView.as_view(), name="checkout.payment.run.detail"),
    path("customers/", customers.CustomerListView.as_view(), name="checkout.customer.list"),
    path("customers/<int:pk>/", customers.CustomerDetailView.as_view(), name="checkout.customer.detail"),
    path("customers/<int:pk>/refresh/", customers.CustomerRefreshView.as_view(), name="checkout.customer.refresh"),
    path("requests/", requests.CustomerPaymentListView.as_view(), name="checkout.customer.payment.list"),
    path("requests/ask/", requests.CustomerChargeCreateView.as_view(), name="checkout.customer.payment.create"),
    path(
        "requests/<uuid:uuid>/", requests.CustomerPaymentDetailView.as_view(), name="checkout.customer.payment.detail"
    ),
    path(
        "requests/<uuid:uuid>/send/", requests.CustomerPaymentSendView.as_view(), name="checkout.customer.payment.send"
    ),
    path(
        "requests/<uuid:uuid>/charge/",
        requests.CustomerPaymentChargeView.as_view(),
        name="checkout.customer.payment.charge",
    ),
    path(
        "requests/<uuid:uuid>/paid/", requests.CustomerPaymentPaidView.as_view(), name="checkout.customer.payment.paid"
    ),
    path(
        "requests/<uuid:uuid>/revoke/",
        requests.CustomerPaymentRevokeView.as_view(),
        name="checkout.customer.payment.revoke",
    ),
    path("mails/<int:pk>/again/", events.NoticeAgainView.as_view(), name="checkout.notice.again"),
    path("events/", events.EventListView.as_view(), name="checkout.event.list"),
    path("events/<int:pk>/retry/", events.EventRetryView.as_view(), name="checkout.event.retry"),
    path("health/", doctor.DoctorView.as_view(), name="checkout.doctor"),
    path("settings/", events.SettingsView.as_view(), name="checkout.settings"),
]
