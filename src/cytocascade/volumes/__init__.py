"""What joins the stages for volumes: their statistics, fitting, generating, and shapes by themselves."""
