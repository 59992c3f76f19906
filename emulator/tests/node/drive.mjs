// Drives a running emulator with Stripe's official Node SDK: node drive.mjs http://127.0.0.1:PORT API-VERSION
// Prints one line for each thing that held; the first that does not ends it with status 1.

import assert from "node:assert/strict";
import http from "node:http";
import { createRequire } from "node:module";

// The package is installed in a cache folder outside this one, named by NODE_PACKAGES.
const require = createRequire(`${process.env.NODE_PACKAGES}/package.json`);
const Stripe = require("stripe").default ?? require("stripe");

const base = new URL(process.argv[2]);
const apiVersion = process.argv[3];
const stripe = new Stripe("sk_test_emulator", {
  apiVersion,
  host: base.hostname,
  port: Number(base.port),
  protocol: "http",
  maxNetworkRetries: 0,
  telemetry: false,
});
const card = { allow_redirects: "never", enabled: true };

async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail("the call should have been refused");
}

async function savedCard(name) {
  const customer = await stripe.customers.create({ name });
  const setup = await stripe.setupIntents.create({
    customer: customer.id,
    usage: "off_session",
    automatic_payment_methods: card,
    payment_method: name,
    confirm: true,
  });
  return { customer, setup };
}

function charge(customer, method, extra = {}) {
  return stripe.paymentIntents.create(
    {
      amount: 2500,
      currency: "gbp",
      customer,
      payment_method: method,
      off_session: true,
      confirm: true,
      automatic_payment_methods: card,
      ...extra,
    },
    { idempotencyKey: `node-${customer}-${method}` },
  );
}

const checks = {
  async customers() {
    const customer = await stripe.customers.create({ email: "ada@example.com", metadata: { order: "7" } });
    assert.match(customer.id, /^cus_/);
    const changed = await stripe.customers.update(customer.id, { name: "Ada", metadata: { order: "", table: "3" } });
    assert.deepEqual(changed.metadata, { table: "3" });
    assert.equal((await stripe.customers.retrieve(customer.id)).name, "Ada");
    assert.equal((await stripe.customers.list({ email: "ada@example.com" })).data.length, 1);
    const gone = await stripe.customers.del(customer.id);
    assert.equal(gone.deleted, true);
    const error = await refused(stripe.customers.retrieve("cus_none"));
    assert.equal(error.type, "StripeInvalidRequestError");
    assert.equal(error.code, "resource_missing");
    assert.ok(error.requestId.startsWith("req_"));
  },

  async "set-up and off-session success"() {
    const { customer, setup } = await savedCard("pm_card_visa");
    assert.equal(setup.status, "succeeded");
    const cards = await stripe.customers.listPaymentMethods(customer.id);
    assert.equal(cards.data[0].id, setup.payment_method);
    const paid = await charge(customer.id, setup.payment_method);
    assert.equal(paid.status, "succeeded");
    assert.equal(paid.amount_received, 2500);
    const again = await charge(customer.id, setup.payment_method);
    assert.equal(again.id, paid.id, "the same key is the same payment");
    assert.equal(again.lastResponse.headers["idempotent-replayed"], "true");
  },

  async decline() {
    const { customer, setup } = await savedCard("pm_card_chargeCustomerFail");
    assert.equal(setup.status, "succeeded");
    const error = await refused(charge(customer.id, setup.payment_method));
    assert.equal(error.type, "StripeCardError");
    assert.equal(error.statusCode, 402);
    assert.equal(error.code, "card_declined");
    assert.equal(error.payment_intent.status, "requires_payment_method");
    assert.equal(error.payment_intent.last_payment_error.payment_method.id, setup.payment_method);
  },

  async authentication() {
    const { customer, setup } = await savedCard("pm_card_visa");
    assert.equal(setup.status, "succeeded");
    const method = await stripe.paymentMethods.attach("pm_card_threeDSecure2Required", { customer: customer.id });
    const error = await refused(charge(customer.id, method.id));
    assert.equal(error.code, "authentication_required");
    assert.equal(error.decline_code, "authentication_required");
    const intent = await stripe.paymentIntents.confirm(
      error.payment_intent.id, { payment_method: method.id, use_stripe_sdk: true },
    );
    assert.equal(intent.status, "requires_action");
    const reply = await fetch(new URL(`/v1/emulator/challenges/${intent.id}`, base), {
      method: "POST",
      headers: { Authorization: "Bearer pk_test_emulator" },
      body: new URLSearchParams({ client_secret: intent.client_secret, outcome: "complete" }),
    });
    assert.equal(reply.status, 200);
    assert.equal((await stripe.paymentIntents.retrieve(intent.id)).status, "succeeded");
  },

  async refund() {
    const intent = await stripe.paymentIntents.create({
      amount: 4000, currency: "eur", payment_method: "pm_card_visa", confirm: true, automatic_payment_methods: card,
      expand: ["latest_charge"],
    });
    assert.equal(intent.latest_charge.paid, true);
    const part = await stripe.refunds.create({ payment_intent: intent.id, amount: 1000 });
    assert.equal(part.status, "succeeded");
    await stripe.refunds.create({ payment_intent: intent.id });
    const charged = await stripe.charges.retrieve(intent.latest_charge.id);
    assert.equal(charged.amount_refunded, 4000);
    assert.equal(charged.refunded, true);
    const error = await refused(stripe.refunds.create({ payment_intent: intent.id }));
    assert.equal(error.code, "charge_already_refunded");
  },

  async "lists page by themselves"() {
    const customer = await stripe.customers.create({ name: "Many" });
    const made = [];
    for (let count = 0; count < 25; count += 1) {
      const amount = 100 + count;
      made.push((await stripe.paymentIntents.create({ amount, currency: "gbp", customer: customer.id })).id);
    }
    const seen = [];
    for await (const intent of stripe.paymentIntents.list({ customer: customer.id, limit: 10 })) seen.push(intent.id);
    assert.deepEqual(seen, made.reverse());
  },

  async "what Stripe refuses"() {
    const types = stripe.paymentIntents.create({ amount: 100, currency: "gbp", payment_method_types: ["card"] });
    if (apiVersion < "2026-09-30") assert.deepEqual((await types).payment_method_types, ["card"]);
    else assert.equal((await refused(types)).code, "payment_method_types_no_longer_supported");
    const unknown = await refused(stripe.paymentIntents.create({ amount: 100, currency: "gbp", wat: 1 }));
    assert.equal(unknown.code, "parameter_unknown");
    const elsewhere = { host: base.hostname, port: Number(base.port), protocol: "http" };
    const stranger = await refused(new Stripe("nonsense", elsewhere).customers.list());
    assert.equal(stranger.type, "StripeAuthenticationError");
  },

  async "a signed webhook arrives and verifies"() {
    const arrived = new Promise((resolve) => {
      const server = http.createServer((request, response) => {
        const parts = [];
        request.on("data", (part) => parts.push(part));
        request.on("end", () => {
          response.end("ok");
          resolve({ body: Buffer.concat(parts), signature: request.headers["stripe-signature"], server });
        });
      });
      server.listen(0, "127.0.0.1", async () => {
        const url = `http://127.0.0.1:${server.address().port}/hook`;
        const endpoint = await stripe.webhookEndpoints.create({ url, enabled_events: ["customer.created"] });
        server.secret = endpoint.secret;
        server.endpoint = endpoint.id;
        await stripe.customers.create({ name: "Webhook" });
      });
    });
    const { body, signature, server } = await arrived;
    const event = stripe.webhooks.constructEvent(body, signature, server.secret);
    assert.equal(event.type, "customer.created");
    assert.equal(event.data.object.name, "Webhook");
    assert.throws(() => stripe.webhooks.constructEvent(`${body} `, signature, server.secret), /signature/i);
    assert.equal((await stripe.events.retrieve(event.id)).type, "customer.created");
    await stripe.webhookEndpoints.del(server.endpoint);
    server.close();
    server.closeAllConnections();
  },
};

for (const [name, check] of Object.entries(checks)) {
  await check();
  console.log(`ok ${name}`);
}
