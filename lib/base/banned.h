/* Included before every source file: what must not be used does not compile. System headers come first, so that only our own uses are hit. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets atoi atol atoll gmtime localtime ctime asctime strncpy strncat
