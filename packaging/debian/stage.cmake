# Run by cpack once everything is installed in a folder a package: adds what only a Debian package
# has, and packs what Debian wants packed.
cmake_minimum_required(VERSION 3.25)
set(debian ${CPACK_OUTLIVE_SOURCE_DIR}/packaging/debian)
set(runtime ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/runtime)
set(dev ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/dev)

# Not file(INSTALL): cpack has DESTDIR set.
function(add source target)
  get_filename_component(folder ${target} DIRECTORY)
  file(MAKE_DIRECTORY ${folder})
  file(COPY_FILE ${source} ${target})
  file(CHMOD ${target} PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
endfunction()

function(pack file)
  execute_process(COMMAND gzip -9nf "${file}" COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(GLOB pages ${runtime}/usr/share/man/man*/*)
foreach(page IN LISTS pages)
  pack("${page}")
endforeach()

# The sample is the configuration: every key is there, with its default, as a comment.
set(doc ${runtime}/usr/share/doc/outlive)
add(${doc}/outlive.toml ${runtime}/etc/outlive/outlive.toml)
file(REMOVE ${doc}/outlive.toml ${doc}/LICENSE)
add(${debian}/lintian-overrides ${runtime}/usr/share/lintian/overrides/outlive)

# What is linked in comes with its own licences, as Debian has them.
foreach(package libfmt-dev nlohmann-json3-dev libtomlplusplus-dev libcli11-dev libfdt-dev
        libseccomp-dev libxxhash-dev liblz4-dev zlib1g-dev liblzma-dev libzstd-dev libc6-dev libstdc++-12-dev)
  file(REAL_PATH /usr/share/doc/${package}/copyright text)
  if(NOT EXISTS ${text})
    message(FATAL_ERROR "the licence of ${package}, which is linked in, is missing: ${text}")
  endif()
  add(${text} ${doc}/licenses/${package})
endforeach()

string(TIMESTAMP now "%a, %d %b %Y %H:%M:%S +0000" UTC)
foreach(package outlive outlive-dev)
  set(folder ${runtime})
  if(package STREQUAL "outlive-dev")
    set(folder ${dev})
  endif()
  add(${debian}/copyright ${folder}/usr/share/doc/${package}/copyright)
  file(WRITE ${folder}/usr/share/doc/${package}/changelog
"outlive (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium

  * Version ${CPACK_PACKAGE_VERSION}.

 -- ${CPACK_PACKAGE_CONTACT}  ${now}
")
  pack(${folder}/usr/share/doc/${package}/changelog)
endforeach()
