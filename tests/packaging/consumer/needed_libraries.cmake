# Fails if the program FILE needs a shared library that is not part of the C++ runtime.

execute_process(COMMAND ${READELF} --dynamic ${FILE} OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "NEEDED[^\n]*" needed "${dynamic}")
if(NOT needed)
  message(FATAL_ERROR "no needed library found in:\n${dynamic}")
endif()
foreach(line IN LISTS needed)
  if(NOT line MATCHES "\\[(libstdc\\+\\+|libc\\+\\+|libc\\+\\+abi|libgcc_s|libm|libc|libpthread|ld-linux[^.]*)\\.so")
    message(FATAL_ERROR "${FILE} needs more than the C++ runtime: ${line}")
  endif()
endforeach()
