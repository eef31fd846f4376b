# One function a kind of target, so that a folder's CMakeLists.txt says only what is particular to it.

add_library(outlive_options INTERFACE)
target_compile_options(outlive_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror>
  $<$<COMPILE_LANGUAGE:C>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror>
  -fno-omit-frame-pointer)
target_compile_definitions(outlive_options INTERFACE _GNU_SOURCE OUTLIVE_VERSION="${PROJECT_VERSION}")
target_include_directories(outlive_options INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
if(OUTLIVE_MUTANTS)
  target_compile_definitions(outlive_options INTERFACE OUTLIVE_MUTANTS)
endif()
if(OUTLIVE_SANITIZE)
  # A finding ends the program: one that only prints (UBSan's way) is read by nobody.
  target_compile_options(outlive_options INTERFACE -fsanitize=${OUTLIVE_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(outlive_options INTERFACE -fsanitize=${OUTLIVE_SANITIZE})
  # g++ takes what is instrumented for uninitialized, also in the standard library's own headers.
  target_compile_options(outlive_options INTERFACE -Wno-maybe-uninitialized)
  if(OUTLIVE_SANITIZE MATCHES undefined)
    # Looks at an object through a pipe: where no descriptor is left it finds faults of its own.
    target_compile_options(outlive_options INTERFACE -fno-sanitize=vptr)
  endif()
endif()

if(OUTLIVE_FUZZ)
  # Warnings are g++'s business: clang has others.
  target_compile_options(outlive_options INTERFACE -fsanitize=fuzzer-no-link -Wno-error)
endif()

# outlive_layer(NAME [DEPS layer...] [LIBS library...] [SKIP file...])
# Builds outlive_NAME from every *.cc below this folder, and NAME_test from every *_test.cc.
function(outlive_layer NAME)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS;SKIP" ${ARGN})
  file(GLOB_RECURSE all CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(sources ${all})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$|/main\\.cc$")
  set(tests ${all})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  foreach(skip IN LISTS ARG_SKIP)
    list(REMOVE_ITEM sources ${CMAKE_CURRENT_SOURCE_DIR}/${skip})
    list(REMOVE_ITEM tests ${CMAKE_CURRENT_SOURCE_DIR}/${skip})
  endforeach()
  list(TRANSFORM ARG_DEPS PREPEND outlive_)
  if(sources)
    add_library(outlive_${NAME} STATIC ${sources})
    target_link_libraries(outlive_${NAME} PUBLIC outlive_options ${ARG_DEPS} ${ARG_LIBS})
  else()
    add_library(outlive_${NAME} INTERFACE)
    target_link_libraries(outlive_${NAME} INTERFACE outlive_options ${ARG_DEPS} ${ARG_LIBS})
  endif()
  if(tests)
    add_executable(${NAME}_test ${tests})
    target_link_libraries(${NAME}_test PRIVATE outlive_${NAME} GTest::gtest GTest::gtest_main)
    include(GoogleTest)
    outlive_test_properties(properties 600)
    gtest_discover_tests(${NAME}_test TEST_PREFIX ${NAME}. DISCOVERY_MODE PRE_TEST
      PROPERTIES ${properties})
  endif()
endfunction()

# The daemon and the command line start while the fd table may be full: no shared libraries then.
function(outlive_static_program TARGET)
  if(OUTLIVE_STATIC AND NOT OUTLIVE_SANITIZE)
    target_link_options(${TARGET} PRIVATE -static -Wl,--gc-sections)
  endif()
endfunction()
