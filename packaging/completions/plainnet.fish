# Completion of the command line of plainnet for fish. tests/packaging/command_line.py compares it with --help.

function __plainnet_models
    plainnet models --json 2>/dev/null | string replace -rf '.*"name":"([a-z0-9_]*)".*' '$1'
end

set -l commands models classify infer preprocess fold convert inspect verify bench eval
set -l no_command "not __fish_seen_subcommand_from $commands"
# $in classify fold: the command is one of these
set -l in __fish_seen_subcommand_from

complete -c plainnet -n $no_command -f
complete -c plainnet -n $no_command -a models -d 'List every variant'
complete -c plainnet -n $no_command -a classify -d 'Print the likeliest classes of pictures'
complete -c plainnet -n $no_command -a infer -d 'Run a network on a tensor'
complete -c plainnet -n $no_command -a preprocess -d 'Write what a network will see of a picture'
complete -c plainnet -n $no_command -a fold -d 'Fold a trained checkpoint once and for all'
complete -c plainnet -n $no_command -a convert -d 'Write a checkpoint of any kind as safetensors'
complete -c plainnet -n $no_command -a inspect -d 'List what a checkpoint holds'
complete -c plainnet -n $no_command -a verify -d 'Check the engine against the readable layers'
complete -c plainnet -n $no_command -a bench -d 'Measure latency'
complete -c plainnet -n $no_command -a eval -d 'Measure accuracy on a folder of class folders'
complete -c plainnet -n $no_command -l version -d 'Print the version'
complete -c plainnet -s h -l help -d 'Print a help text'

complete -c plainnet -n "$in classify infer bench eval" -l weights -rF -d Checkpoint
complete -c plainnet -n "$in classify infer fold convert inspect verify eval" -l key -x \
    -d 'Entry of a training checkpoint'
complete -c plainnet -n "$in classify infer preprocess fold verify bench eval" -l model -x \
    -a '(__plainnet_models)' -d Variant
complete -c plainnet -n "$in classify infer fold verify eval" -l slope -x -d 'Slope of the annealed activations'
complete -c plainnet -n "$in classify eval" -l labels -rF -d 'Names of the classes'
complete -c plainnet -n "$in classify" -l top -x -d 'How many classes of each picture'
complete -c plainnet -n "$in classify infer fold verify bench eval" -l threads -x -d 'Threads to compute with'
complete -c plainnet -n "$in models classify fold convert inspect bench eval" -l json -d 'Print JSON'
complete -c plainnet -n "$in infer" -l input -rF -d 'File with the tensor "input"'
complete -c plainnet -n "$in infer preprocess" -l output -rF -d 'File to write'
complete -c plainnet -n "$in infer" -l features -d "Write every stage's output"
complete -c plainnet -n "$in infer" -l no-fold -d 'Run the trained form'
complete -c plainnet -n "$in infer" -l double -d 'Compute in double precision'
complete -c plainnet -n "$in preprocess verify bench" -l size -x -d 'Size in pixels'
complete -c plainnet -n "$in preprocess" -l crop -x -d 'Part of the resized edge that is kept'
complete -c plainnet -n "$in preprocess" -l mode -x -a 'center squash' -d 'Which edges are resized'
complete -c plainnet -n "$in convert" -l half -x -a 'f16 bf16' -d 'Round to 16 bits'
complete -c plainnet -n "$in bench" -l all -d 'All variants'
complete -c plainnet -n "$in bench" -l batch -x -d 'Pictures in a run'
complete -c plainnet -n "$in verify bench" -l isa -x -a 'baseline avx2 avx512 zen4 zen5' -d 'Instruction set'
complete -c plainnet -n "$in bench" -l profile -d 'Print the time of each step'
complete -c plainnet -n "$in bench" -l seconds -x -d 'How long each model is timed'
