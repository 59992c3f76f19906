"""The API's resources, one module each. `stripe_emulator.api` imports them all."""
