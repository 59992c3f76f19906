"""Errors as Stripe's API words them (https://docs.stripe.com/api/errors)."""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]


class ApiError(Exception):
    """An answer with status 4xx or 5xx.

    `begun` says whether the work had begun: then the answer is remembered under the request's idempotency key
    (https://docs.stripe.com/api/idempotent_requests). Parameters that fail validation are not remembered.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",  # noqa: A002 - Stripe's own name for it
        begun: bool = False,
        headers: dict[str, str] | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.begun = begun
        self.headers = headers or {}
        self.error: JSON = {"type": type}
        if code is not None:
            self.error["code"] = code
            self.error["doc_url"] = doc_url(code)
        self.error["message"] = message
        if param is not None:
            self.error["param"] = param
        self.error.update({key: value for key, value in details.items() if value is not None})


def doc_url(code: str) -> str:
    return f"https://docs.stripe.com/error-codes/{code.replace('_', '-')}"


def invalid(message: str, param: str | None = None, code: str | None = None, **details: Any) -> ApiError:
    """400: the request as it stands makes no sense; nothing was begun."""
    return ApiError(400, message, code=code, param=param, **details)


def refused(message: str, code: str | None = None, param: str | None = None, **details: Any) -> ApiError:
    """400: the request was understood, but the state of things forbids it."""
    return ApiError(400, message, code=code, param=param, begun=True, **details)


def missing(kind: str, object_id: str, param: str, *, in_path: bool) -> ApiError:
    """404 for an unknown id in the path, 400 for one in a parameter."""
    message = f"No such {kind}: '{object_id}'"
    return ApiError(404 if in_path else 400, message, code="resource_missing", param=param)


def missing_param(name: str) -> ApiError:
    return invalid(f"Missing required param: {name}.", name, "parameter_missing")


def no_such_url(method: str, path: str) -> ApiError:
    return ApiError(
        404,
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at "
        "https://support.stripe.com/.",
    )


def secret_key_required() -> ApiError:
    return ApiError(
        401,
        "This API call cannot be made with a publishable API key. Please use a secret API key. You can find a list "
        "of your API keys at https://dashboard.stripe.com/account/apikeys.",
        code="secret_key_required",
    )


def status_error(status: int) -> ApiError:
    """The answer of a fault that was told to be of that status."""
    if status == 429:
        return rate_limited()
    if status >= 500:
        message = "An unexpected error occurred on our side. Please try again later. (A fault of the emulator.)"
        return ApiError(status, message, type="api_error")
    return ApiError(status, f"The emulator was told to answer with {status}.")


def rate_limited() -> ApiError:
    return ApiError(
        429,
        "Request rate limit exceeded. Learn more about rate limits here https://docs.stripe.com/rate-limits.",
        code="rate_limit",
        headers={"Stripe-Rate-Limited-Reason": "global-rate"},
    )


def lock_timeout() -> ApiError:
    return ApiError(
        429,
        "This object cannot be accessed right now because another API request or Stripe process is currently accessing "
        "it. If you see this error intermittently, retry the request.",
        code="lock_timeout",
        headers={"Stripe-Should-Retry": "true"},
    )
