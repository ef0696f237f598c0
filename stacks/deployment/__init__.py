"""Deploying by CloudFormation itself: a change set is what is shown, asked about, and carried out.

The templates hold no assets, so neither the cdk command nor a bootstrapped account is needed. The one thing
that CDK's bucket would be for, templates above 51,200 bytes, the installation's own bucket does.
"""
