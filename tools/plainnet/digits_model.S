// The two files of the digits model as read-only data, declared in digits_model.hpp. An assembler includes a file as it
// is; a C++ array of as many numbers takes seconds to compile. DIGITS_WEIGHTS and DIGITS_LABELS are their paths.

#ifdef __APPLE__
#define NAME(name) _##name
.const_data
#else
#define NAME(name) name
.section .rodata
#endif

.globl NAME(plainnet_digits_weights)
.globl NAME(plainnet_digits_weights_end)
.globl NAME(plainnet_digits_labels)
.globl NAME(plainnet_digits_labels_end)

.balign 64
NAME(plainnet_digits_weights):
.incbin DIGITS_WEIGHTS
NAME(plainnet_digits_weights_end):

NAME(plainnet_digits_labels):
.incbin DIGITS_LABELS
NAME(plainnet_digits_labels_end):

#ifdef __ELF__
.section .note.GNU-stack, "", %progbits
#endif
