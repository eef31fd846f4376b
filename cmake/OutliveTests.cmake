# What every test has: a time limit, and sanitizers that are listened to.
set(OUTLIVE_PATIENCE 1 CACHE STRING "Factor for the time limits of tests: sanitizers are several times slower")

# outlive_test_properties(VARIABLE SECONDS)
# The properties of a test that takes so long at most. Tests multiply limits of their own by the
# OUTLIVE_PATIENCE of their environment.
function(outlive_test_properties VARIABLE SECONDS)
  math(EXPR limit "${SECONDS} * ${OUTLIVE_PATIENCE}")
  set(properties TIMEOUT ${limit} ENVIRONMENT OUTLIVE_PATIENCE=${OUTLIVE_PATIENCE})
  if(OUTLIVE_SANITIZE)
    # Also of a child whose end the test expects, or doesn't look at.
    list(APPEND properties FAIL_REGULAR_EXPRESSION
      "(ERROR|WARNING): [A-Z][A-Za-z]*Sanitizer|: runtime error: ")
  endif()
  set(${VARIABLE} ${properties} PARENT_SCOPE)
endfunction()
