# Read by cpack: the maintainer of a package is who builds it. As Debian's own tools take it, from
# DEBFULLNAME and DEBEMAIL, else user and host.
set(name $ENV{DEBFULLNAME})
set(address $ENV{DEBEMAIL})
if(NOT address)
  cmake_host_system_information(RESULT host QUERY HOSTNAME)
  execute_process(COMMAND id -un OUTPUT_VARIABLE user OUTPUT_STRIP_TRAILING_WHITESPACE
    ERROR_QUIET)
  set(address "${user}@${host}")
endif()
if(NOT name)
  set(name "Builder of outlive")
endif()
set(CPACK_PACKAGE_CONTACT "${name} <${address}>")
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${CPACK_PACKAGE_CONTACT}")
