# The Debian packages (`make deb`), by CPack, from what is built already: `outlive` (daemon, command,
# library) and `outlive-dev` (headers). Both come from the same rules as `make install`; what a
# package has beside them is added by packaging/debian/stage.cmake.
#
# Version: the project's. Maintainer: who builds it (packaging/debian/maintainer.cmake).
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME outlive)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Live Update Orchestrator")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_COMPONENTS_ALL runtime dev)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
# A folder with another mode, of whoever builds it, would get into the package.
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
  GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(debian ${CMAKE_SOURCE_DIR}/packaging/debian)
set(CPACK_PROJECT_CONFIG_FILE ${debian}/maintainer.cmake)
set(CPACK_PRE_BUILD_SCRIPTS ${debian}/stage.cmake)
set(CPACK_OUTLIVE_SOURCE_DIR ${CMAKE_SOURCE_DIR})

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
# What is linked to the library depends on this version or a later one.
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME outlive)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${debian}/conffiles ${debian}/postinst ${debian}/prerm
  ${debian}/postrm ${debian}/triggers)
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION
"outlived keeps open files, connections, listeners and memory while the
program that uses them is replaced by its next version. It replaces itself
in the same way: upgrading this package does so.

This package has the daemon outlived, the command outlive, and the library
that services are linked to.")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME outlive-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "outlive (= ${PROJECT_VERSION})")
set(CPACK_COMPONENT_DEV_DESCRIPTION
"outlived keeps open files, connections, listeners and memory while the
program that uses them is replaced by its next version.

This package has what a service needs to be built against liboutlive: the
headers for C and C++, for pkg-config and for CMake.")
include(CPack)
