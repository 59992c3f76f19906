/* What payers read, in each language: the labels of the fields, their slips, and what a bank says. */

// English, German, French
const SENTENCES = [
  ["Card", "Karte", "Carte"],
  ["Card details", "Kartendaten", "Coordonnées de la carte"],
  ["Card number", "Kartennummer", "Numéro de carte"],
  ["Expiration date", "Ablaufdatum", "Date d'expiration"],
  ["MM / YY", "MM / JJ", "MM / AA"],
  ["Security code", "Sicherheitscode", "Code de sécurité"],
  ["CVC", "CVC", "CVC"],
  ["4 digits", "4 Ziffern", "4 chiffres"],
  ["Country", "Land", "Pays"],
  ["How to pay", "Zahlungsart", "Moyen de paiement"],
  ["{wallet} (test)", "{wallet} (Test)", "{wallet} (test)"],
  [
    "A stand-in for the wallet opens when you pay. No wallet of yours is asked.",
    "Beim Bezahlen öffnet sich eine Nachbildung des Wallets. Ihr eigenes wird nicht gefragt.",
    "Une imitation du portefeuille s'ouvre au moment de payer. Le vôtre n'est pas sollicité.",
  ],
  ["Stand-in for a wallet", "Nachbildung eines Wallets", "Imitation d'un portefeuille"],
  ["Stripe emulator", "Stripe-Emulator", "Émulateur de Stripe"],
  ["Card in the wallet", "Karte im Wallet", "Carte du portefeuille"],
  [
    "This is not your wallet: the emulator plays it. These are test cards, and no money moves.",
    "Dies ist nicht Ihr Wallet: Der Emulator spielt es. Es sind Testkarten, und es fließt kein Geld.",
    "Ce n'est pas votre portefeuille : l'émulateur le joue. Ce sont des cartes de test, sans argent réel.",
  ],
  ["Pay {amount}", "{amount} bezahlen", "Payer {amount}"],
  ["Save the card", "Karte speichern", "Enregistrer la carte"],
  ["pays", "zahlt", "paie"],
  ["is declined", "wird abgelehnt", "est refusée"],
  [
    "can be saved, then every charge is declined",
    "lässt sich speichern, danach wird jede Zahlung abgelehnt",
    "peut être enregistrée, puis chaque paiement est refusé",
  ],
  [
    "The wallet was closed before anything was paid.",
    "Das Wallet wurde geschlossen, bevor etwas bezahlt war.",
    "Le portefeuille a été fermé avant tout paiement.",
  ],
  ["Secure card payment input frame", "Sicherer Eingaberahmen für Karten", "Cadre de saisie sécurisé pour carte"],
  ["Secure express checkout frame", "Sicherer Rahmen für Express-Zahlung", "Cadre sécurisé de paiement express"],
  ["Secure address input frame", "Sicherer Eingaberahmen für Adressen", "Cadre de saisie sécurisé pour adresse"],
  ["Express checkout", "Express-Zahlung", "Paiement express"],
  ["Address", "Adresse", "Adresse"],
  ["Full name", "Vollständiger Name", "Nom complet"],
  ["Full name or organization", "Vollständiger Name oder Organisation", "Nom complet ou organisation"],
  ["First name", "Vorname", "Prénom"],
  ["Last name", "Nachname", "Nom de famille"],
  ["Address line 1", "Adresszeile 1", "Adresse, ligne 1"],
  ["Address line 2", "Adresszeile 2", "Adresse, ligne 2"],
  ["City", "Ort", "Ville"],
  ["State or province", "Bundesland oder Provinz", "État ou province"],
  ["Phone number", "Telefonnummer", "Numéro de téléphone"],
  ["This field is incomplete.", "Dieses Feld ist unvollständig.", "Ce champ est incomplet."],
  ["Please fill in your address.", "Bitte geben Sie Ihre Adresse an.", "Veuillez indiquer votre adresse."],
  ["Saved cards", "Gespeicherte Karten", "Cartes enregistrées"],
  ["New card", "Neue Karte", "Nouvelle carte"],
  ["{brand} ending in {last4}", "{brand} mit den Endziffern {last4}", "{brand} se terminant par {last4}"],
  ["Postal code", "Postleitzahl", "Code postal"],
  [
    "Secure payment input frame",
    "Sicherer Eingaberahmen für Zahlungen",
    "Cadre de saisie sécurisé pour le paiement",
  ],
  [
    "Test payments only: never type a real card. 4242 4242 4242 4242 always works.",
    "Nur Testzahlungen: Geben Sie nie eine echte Karte ein. 4242 4242 4242 4242 funktioniert immer.",
    "Paiements de test uniquement : ne saisissez jamais une vraie carte. 4242 4242 4242 4242 fonctionne " +
      "toujours.",
  ],
  ["this shop", "dieser Shop", "cette boutique"],
  [
    "Your card is kept so that {business} can charge it later, as agreed with you.",
    "Ihre Karte wird gespeichert, damit {business} sie später belasten kann, wie mit Ihnen vereinbart.",
    "Votre carte est enregistrée pour que {business} puisse la débiter plus tard, comme convenu avec " +
      "vous.",
  ],
  ["Please choose how to pay.", "Bitte wählen Sie, wie Sie bezahlen.", "Veuillez choisir comment payer."],
  ["Your card number is incomplete.", "Die Kartennummer ist unvollständig.", "Le numéro de carte est incomplet."],
  ["Your card number is not valid.", "Die Kartennummer ist ungültig.", "Le numéro de carte n'est pas valide."],
  [
    "The expiration month is not valid.",
    "Der Ablaufmonat ist ungültig.",
    "Le mois d'expiration n'est pas valide.",
  ],
  [
    "Your expiration date is incomplete.",
    "Das Ablaufdatum ist unvollständig.",
    "La date d'expiration est incomplète.",
  ],
  [
    "The expiration year is in the past.",
    "Das Ablaufjahr liegt in der Vergangenheit.",
    "L'année d'expiration est passée.",
  ],
  [
    "The expiration date is in the past.",
    "Das Ablaufdatum liegt in der Vergangenheit.",
    "La date d'expiration est passée.",
  ],
  ["The expiration year is not valid.", "Das Ablaufjahr ist ungültig.", "L'année d'expiration n'est pas valide."],
  [
    "Your security code is incomplete.",
    "Der Sicherheitscode ist unvollständig.",
    "Le code de sécurité est incomplet.",
  ],
  ["Your postal code is incomplete.", "Die Postleitzahl ist unvollständig.", "Le code postal est incomplet."],
  ["Your card was declined.", "Ihre Karte wurde abgelehnt.", "Votre carte a été refusée."],
  [
    "Your card was declined. This transaction requires authentication.",
    "Ihre Karte wurde abgelehnt. Diese Zahlung muss bestätigt werden.",
    "Votre carte a été refusée. Ce paiement doit être authentifié.",
  ],
  [
    "This card has been declined too many times. You can try to charge this card again after 24 hours.",
    "Diese Karte wurde zu oft abgelehnt. Nach 24 Stunden können Sie es wieder mit ihr versuchen.",
    "Cette carte a été refusée trop de fois. Vous pourrez réessayer avec elle dans 24 heures.",
  ],
  ["Your card has expired.", "Ihre Karte ist abgelaufen.", "Votre carte a expiré."],
  [
    "Your card's security code is incorrect.",
    "Der Sicherheitscode Ihrer Karte ist falsch.",
    "Le code de sécurité de votre carte est incorrect.",
  ],
  [
    "Your card's security code is invalid.",
    "Der Sicherheitscode Ihrer Karte ist ungültig.",
    "Le code de sécurité de votre carte n'est pas valide.",
  ],
  ["Your card number is incorrect.", "Die Kartennummer ist falsch.", "Le numéro de carte est incorrect."],
  [
    "Your card number is not a valid credit card number.",
    "Das ist keine gültige Kartennummer.",
    "Ce n'est pas un numéro de carte valide.",
  ],
  [
    "The zip code you supplied failed validation.",
    "Die angegebene Postleitzahl konnte nicht bestätigt werden.",
    "Le code postal indiqué n'a pas pu être confirmé.",
  ],
  [
    "Your card's expiration month is invalid.",
    "Der Ablaufmonat Ihrer Karte ist ungültig.",
    "Le mois d'expiration de votre carte n'est pas valide.",
  ],
  [
    "Your card's expiration year is invalid.",
    "Das Ablaufjahr Ihrer Karte ist ungültig.",
    "L'année d'expiration de votre carte n'est pas valide.",
  ],
  [
    "An error occurred while processing your card. Try again in a little bit.",
    "Bei der Verarbeitung Ihrer Karte ist ein Fehler aufgetreten. Versuchen Sie es gleich noch einmal.",
    "Une erreur s'est produite lors du traitement de votre carte. Réessayez dans un instant.",
  ],
  [
    "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
    "Ihre Karte wurde abgelehnt: zu viele Versuche in kurzer Zeit, oder ihr Betragslimit ist " +
      "überschritten.",
    "Votre carte a été refusée : trop de tentatives rapprochées, ou plafond dépassé.",
  ],
  [
    "Your card has insufficient funds.",
    "Ihre Karte ist nicht ausreichend gedeckt.",
    "Les fonds disponibles sur votre carte sont insuffisants.",
  ],
  ["Your card is not supported.", "Ihre Karte wird nicht unterstützt.", "Votre carte n'est pas acceptée."],
  [
    "Your card does not support this currency.",
    "Ihre Karte unterstützt diese Währung nicht.",
    "Votre carte n'accepte pas cette devise.",
  ],
  [
    "We are unable to authenticate your payment method. Please choose a different payment method and try " +
      "again.",
    "Wir können Ihre Zahlungsmethode nicht bestätigen. Bitte wählen Sie eine andere und versuchen Sie es " +
      "noch einmal.",
    "Nous ne pouvons pas authentifier votre moyen de paiement. Veuillez en choisir un autre et réessayer.",
  ],
  [
    "The payment service could not be reached. Please check your connection and try again.",
    "Der Zahlungsdienst ist nicht erreichbar. Bitte prüfen Sie Ihre Verbindung und versuchen Sie es noch " +
      "einmal.",
    "Le service de paiement est injoignable. Veuillez vérifier votre connexion et réessayer.",
  ],
  ["Card authentication", "Bestätigung der Karte", "Authentification de la carte"],
  ["Test bank", "Testbank", "Banque de test"],
  ["Close", "Schließen", "Fermer"],
  ["3-D Secure test page", "Testseite für 3-D Secure", "Page de test 3-D Secure"],
  ["Merchant", "Händler", "Marchand"],
  ["Amount", "Betrag", "Montant"],
  [
    "Your bank would ask you here to prove that it is you. This is a test: choose what should happen.",
    "Hier würde Ihre Bank Sie bitten zu beweisen, dass Sie es sind. Dies ist ein Test: Wählen Sie, was " +
      "geschehen soll.",
    "Votre banque vous demanderait ici de prouver que c'est bien vous. Ceci est un test : choisissez ce " +
      "qui doit se passer.",
  ],
  [
    "Your bank would ask you here to agree that this card is kept for later payments. This is a test: " +
      "choose what should happen.",
    "Hier würde Ihre Bank Sie fragen, ob diese Karte für spätere Zahlungen gespeichert werden darf. Dies " +
      "ist ein Test: Wählen Sie, was geschehen soll.",
    "Votre banque vous demanderait ici d'accepter que cette carte soit enregistrée pour des paiements " +
      "ultérieurs. Ceci est un test : choisissez ce qui doit se passer.",
  ],
  ["Complete authentication", "Bestätigen", "Réussir l'authentification"],
  ["Fail authentication", "Bestätigung scheitern lassen", "Faire échouer l'authentification"],
];

const into = (column) => Object.fromEntries(SENTENCES.map((row) => [row[0], row[column]]));

export const WORDS = { de: into(1), fr: into(2) };

/** The language that is spoken for a locale: one of those above, else English. */
export function languageOf(locale) {
  const wanted = !locale || locale === "auto" ? navigator.language : locale;
  const language = wanted.toLowerCase().split("-")[0];
  return language in WORDS ? language : "en";
}

/** A sentence in the language of `locale`, with its {names} filled in; a sentence that is not known stays as it is. */
export function translate(sentence, locale, names = {}) {
  const found = WORDS[languageOf(locale)]?.[sentence] ?? sentence;
  return found.replace(/\{(\w+)\}/g, (whole, name) => names[name] ?? whole);
}

const originals = new Map(); // what was there first, so that the language can be changed again

/** Translate every text, placeholder and label of this page that is known. */
export function translatePage(locale) {
  document.documentElement.lang = languageOf(locale);
  document.title = translate(first(document, "title", document.title), locale);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement.closest("option, script, [data-own-words]")) continue;
    const sentence = first(node, "text", node.data).replace(/\s+/g, " ").trim();
    if (sentence) node.data = translate(sentence, locale);
  }
  for (const name of ["placeholder", "aria-label"])
    for (const node of document.querySelectorAll(`[${name}]`))
      node.setAttribute(name, translate(first(node, name, node.getAttribute(name)), locale));
}

function first(node, name, value) {
  if (!originals.has(node)) originals.set(node, {});
  return (originals.get(node)[name] ??= value);
}
