# Run by CPack before it packs: what a Debian package has beside the files of an installation.

if(NOT CPACK_GENERATOR STREQUAL DEB)
  return()
endif()

find_program(gzip gzip REQUIRED)
function(compress file)
  execute_process(COMMAND ${gzip} -9 --no-name --force ${file} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

string(TIMESTAMP changelog_date "%a, %d %b %Y %H:%M:%S +0000" UTC) # of SOURCE_DATE_EPOCH, if that is set

foreach(component IN LISTS CPACK_COMPONENTS_ALL)
  string(TOUPPER ${component} upper)
  set(package ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  set(root ${CPACK_TEMPORARY_DIRECTORY}/${component}/usr)
  set(doc_dir ${root}/share/doc/${package})
  file(REMOVE_RECURSE ${root}/share/doc) # LICENSE, which is in the copyright file
  file(MAKE_DIRECTORY ${doc_dir})
  file(COPY ${CMAKE_CURRENT_LIST_DIR}/copyright DESTINATION ${doc_dir}
       FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
  file(WRITE ${doc_dir}/changelog
"plainnet (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium

  * Built by cpack; what changed is in CHANGELOG.md of the source.

 -- ${CPACK_PACKAGE_CONTACT}  ${changelog_date}
")
  compress(${doc_dir}/changelog)
  file(GLOB man_pages ${root}/share/man/man1/*.1)
  foreach(man_page IN LISTS man_pages)
    compress(${man_page})
  endforeach()
  if(EXISTS ${root}/share/zsh/site-functions) # which Debian keeps for zsh itself
    file(RENAME ${root}/share/zsh/site-functions ${root}/share/zsh/vendor-completions)
  endif()
endforeach()
