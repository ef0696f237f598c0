"""What becomes of each parameter of the `sagemaker` SDK's estimators: carried, refused, or without effect.

Every parameter of the constructors of EstimatorBase, Estimator, Framework and the five framework classes is
in exactly one of the three; a test walks the signatures of the installed SDK and fails for one that is not.
"""

from __future__ import annotations

CARRIED: dict[str, str] = {
    "instance_count": "instances",
    "volume_size": "volume_gb",
    "environment": "environment",
    "dependencies": "dependencies",
    "input_mode": "input_mode",
    "enable_sagemaker_metrics": "metrics_time_series",
    "subnets": "network.subnets",
    "security_group_ids": "network.security_groups",
    "encrypt_inter_container_traffic": "network.encrypt_traffic",
    "enable_network_isolation": "network.isolation",
    "volume_kms_key": "encryption.volume_key",
    "output_kms_key": "encryption.output_key",
    "checkpoint_s3_uri": "checkpoint.s3_uri",
    "checkpoint_local_path": "checkpoint.local_path",
    "container_entry_point": "container.entrypoint",
    "container_arguments": "container.arguments",
    "training_repository_access_mode": "image_repository.access",
    "training_repository_credentials_provider_arn": "image_repository.credentials_provider",
}
"""Parameter -> the stage's field that takes its value as it is."""

TRANSLATED: dict[str, str] = {
    "role": "role: an ARN",
    "instance_type": "spot.ladder or on_demand.ladder",
    "use_spot_instances": "spot; without it spot.enabled is false",
    "max_run": "limit, seconds",
    "max_wait": "spot.patience = max_wait - max_run",
    "entry_point": "script; without source_dir, source is its folder",
    "source_dir": "source",
    "hyperparameters": "hyperparameters: your own, so that the script gets the same values",
    "model_dir": "hyperparameters.model_dir, where it is a text",
    "container_log_level": "environment.SM_LOG_LEVEL",
    "metric_definitions": "metrics",
    "tags": "tags",
    "distribution": "distribution: torchrun for torch_distributed",
    "image_uri": "image",
    "framework_version": "image.version",
    "py_version": "image.python",
    "transformers_version": "image.version",
    "pytorch_version": "image.base",
    "tensorflow_version": "image.base",
    "model_uri": "inputs",
    "model_channel_name": "inputs: the channel of model_uri",
    "disable_profiler": "profiler",
    "profiler_config": "profiler, where it only disables",
}
"""Parameter -> how the stage says it."""

REFUSED: dict[str, str] = {
    "output_path": "a run keeps its outputs below its own prefix, where later stages and the receipt look: "
    "leave it out, and take the model from the stage's output `model`",
    "disable_output_compression": "later stages and the receipt read model.tar.gz: leave it out",
    "max_retry_attempts": "SageMaker's own retries hide attempts from the receipt, and Relay mends platform "
    "faults itself: leave it out",
    "keep_alive_period_in_seconds": "a warm pool cannot be used with spot, and it is billed after the job, "
    "where no receipt counts it: leave it out",
    "rules": "rules of SageMaker Debugger run as jobs of their own, which no receipt counts: leave it out",
    "debugger_hook_config": "SageMaker Debugger is not started by Relay: leave it out, or say False",
    "tensorboard_output_config": "write the event files below the checkpoint folder, or to "
    "/opt/ml/output/data, which is kept as output.tar.gz",
    "instance_groups": "every rung has one instance type: say instance_type and instance_count",
    "instance_placement_config": "UltraServers are reserved capacity, not spot: leave it out",
    "training_plan": "a training plan is reserved capacity, not spot: leave it out",
    "git_config": "clone the repository yourself and name its folder as source_dir",
    "compiler_config": "SageMaker Training Compiler has images and a launcher of its own: leave it out",
    "training_recipe": "a recipe brings its own launcher: name the script that it would start as entry_point",
    "recipe_overrides": "it belongs to training_recipe, which is refused",
    "enable_infra_check": "the health check counts as the job's time, and spot capacity is replaced anyway: "
    "leave it out",
    "enable_remote_debug": "a shell in the container is not part of an unattended run: leave it out",
    "enable_session_tag_chaining": "the job's role says what a job may read, not a session's tags: "
    "leave it out",
}
"""Parameter -> why it is refused when it is set, and what to do."""

IGNORED: dict[str, str] = {
    "sagemaker_session": "Relay creates the jobs with its own, and looks images up in the region of the jobs",
    "image_uri_region": "a job takes its image from the region where it runs",
    "base_job_name": "names change nothing in a training, and Relay's must be unique for each attempt",
    "code_location": "Relay uploads the code itself, under a key that is the digest of its content",
    "kwargs": "these go to the parent's constructor, whose parameters are here",
}
"""Parameter -> why it makes no difference to the training."""
