"""What an agent learns from more than once: experience that is kept, drawn and drawn again."""
