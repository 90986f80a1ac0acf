"""All that bends fairseq or torch, so that no other room changes what it does not own."""


def install() -> None:
    """The changes to fairseq and torch for a whole process.

    They are made once, when the plugin registers its tasks, criterions and models: as soon as fairseq is loaded (`registration`).
    What is changed and why; each module has the reason in full:

    * `safe_loading`: torch's safe loader takes the containers of fairseq's checkpoints; it would refuse older ones and resumed ranks.
    * `attention_kernels`: torch leaves out cuDNN's attention, which plans anew for every shape of a batch.
    * `quick_settings`: plain values of a configuration are read as they stand there; OmegaConf takes 9 µs for each, 60 times in an update.
    * `forked_processes`: what a forked process inherits is not garbage to it; freeing a tensor of the GPU would kill a data loader's worker.
    * `loader_workers`: the workers of fairseq's data loaders end with their epoch; the main process would wait for each of them for 5 s.
    * `short_weights`: with --bf16 the optimizer `speechllm_adam` is not wrapped in fairseq's, which copies weights one by one.
    * `checkpoint_loading`: a damaged, foreign or malicious checkpoint is an error that names the file.
    * `rank_numbers`: on several GPUs, no update waits for a GPU because ranks tell each other how many tokens they have.
    * `rank_processes`: fairseq-train runs in several processes on CPUs, too, under torchrun, too, and a rank that dies ends the others.
    * `logged_norms`: a norm that the host knows is added up for the log as a number; fairseq makes tensors of it.
    * `idle_ranks`: a rank that has no batch left counts its other batches of the update.
    * `batch_copies`: a batch is copied to a GPU beside the kernels of the one before.
    * `update_seeds`: each update seeds the devices that there are; torch would look for others, and fairseq keep what was before.
    * `training_failures`: a loss that is not finite, or a batch that does not fit into memory, ends in one line that names the batch.
    * `terminal_output`: no text of a corpus commands the terminal of a fairseq command.
    * `command_errors`: in the fairseq commands, an error that a user can cause ends with one line instead of a traceback.

    Three more need readers and writers of a higher room, so the package asks for them:

    * `folders_as_checkpoints.accept`: fairseq's commands take a model folder where they take a checkpoint.
    * `stock_files.write_whole`: checkpoints and hypotheses are complete or not there, and are what was written.
    * `interruption.end_program`, of `files`: the fairseq commands end at Ctrl-C and SIGTERM in one line, and leave nothing behind.

    Three more changes need the configuration of a command, so the tasks ask for them:

    * `configuration.correct`, in `setup_task`: --bf16 means no TPU, and no thread reads batches ahead.
    * `configuration.keep_values`, in `build_generator`: fairseq-generate reads its options quickly.
    * `peak_memory.log_at_exit`, in `build_generator` and before the first update: fairseq-generate and fairseq-train end with a line on their memory.
    """
    from speechllm_plugin.host import (
        attention_kernels,
        batch_copies,
        checkpoint_loading,
        command_errors,
        forked_processes,
        idle_ranks,
        loader_workers,
        logged_norms,
        quick_settings,
        rank_numbers,
        rank_processes,
        safe_loading,
        short_weights,
        terminal_output,
        training_failures,
        update_seeds,
    )

    safe_loading.allow_fairseq_containers()
    attention_kernels.leave_out_cudnn()
    quick_settings.read_quickly()
    forked_processes.keep_what_they_inherit()
    loader_workers.end_with_their_epoch()
    short_weights.leave_bf16_to_the_optimizer()
    checkpoint_loading.explain_errors()
    rank_numbers.exchange_on_hosts()
    rank_processes.start_and_watch()
    logged_norms.log_as_numbers()
    idle_ranks.leave_out_single_batches()
    batch_copies.copy_beside_kernels()
    update_seeds.set_quickly()
    training_failures.name_batches()
    terminal_output.keep_harmless()
    command_errors.install()
