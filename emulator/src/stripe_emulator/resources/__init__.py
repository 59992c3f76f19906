"""The API's resources, one module each, and what several of them do alike. `stripe_emulator.api` imports them all."""
