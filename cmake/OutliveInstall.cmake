# What `cmake --install` puts where. docs/files.md is the table of it for people; keep them equal.
#
# A prefix may be chosen when installing (`make install PREFIX=`), so nothing that is installed has
# one compiled in: pkg-config and CMake package find theirs relative to themselves, and the unit file
# is filled in at that moment.
#
# COMPONENT says in which Debian package a file is (cmake/OutlivePackage.cmake): `runtime` or `dev`.
set(outlive_doc ${CMAKE_INSTALL_DATADIR}/doc/outlive)

# The command, its completion and the man pages are installed by src/cli.
if(TARGET outlived)
  install(TARGETS outlived RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
endif()

if(TARGET liboutlive)
  install(TARGETS liboutlive LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime
    NAMELINK_COMPONENT dev)
  install(DIRECTORY include/outlive DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev
    FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
  # Both are written here, relative to their own place.
  set(outlive_config ${CMAKE_BINARY_DIR}/package)
  file(RELATIVE_PATH outlive_up_cmake /p/${CMAKE_INSTALL_LIBDIR}/cmake/outlive /p)
  file(RELATIVE_PATH outlive_up_pc /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
  configure_file(packaging/outliveConfig.cmake.in ${outlive_config}/outliveConfig.cmake @ONLY)
  configure_file(packaging/outlive.pc.in ${outlive_config}/outlive.pc @ONLY)
  include(CMakePackageConfigHelpers)
  write_basic_package_version_file(${outlive_config}/outliveConfigVersion.cmake
    VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
  install(FILES ${outlive_config}/outliveConfig.cmake ${outlive_config}/outliveConfigVersion.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/outlive COMPONENT dev)
  install(FILES ${outlive_config}/outlive.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
    COMPONENT dev)
endif()

file(GLOB outlive_docs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/*.md ${CMAKE_SOURCE_DIR}/docs/*.svg)
install(FILES README.md LICENSE packaging/outlive.toml DESTINATION ${outlive_doc} COMPONENT runtime)
install(FILES ${outlive_docs} DESTINATION ${outlive_doc}/docs COMPONENT runtime)
# In a folder of its own: two installs at once, to different places, are no reason to mix them.
install(CODE "
  set(BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
  string(RANDOM LENGTH 12 unique)
  set(folder \"${CMAKE_BINARY_DIR}/package/\${unique}\")
  configure_file(\"${CMAKE_SOURCE_DIR}/packaging/outlived.service\"
    \"\${folder}/outlived.service\" @ONLY)
  file(INSTALL \"\${folder}/outlived.service\"
    DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/systemd/system\")
  file(REMOVE_RECURSE \"\${folder}\")" COMPONENT runtime)
